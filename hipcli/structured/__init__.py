"""Answers for programs: JSON that follows a JSON Schema."""

PYTHON ?= python3
BIN := .venv/bin
STORY := docs/demo/blue_hotel.txt

.PHONY: setup demo test check format

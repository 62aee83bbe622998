"""How many tokens a conversation gets behind its documents, where the user does not say."""

from hip_attention.config import HipConfig

from hipcli.cli.options import PositionKind
from hipcli.models.resolve import ModelShape
from hipcli.planning.positions import place

ROOM = 8192  # twenty to forty turns
_QUESTION = 256  # tokens of a long one


def room_for(
    documents: int,
    answer: int,
    hip: HipConfig,
    positions: PositionKind,
    shape: ModelShape,
    unasked: frozenset[str] = frozenset(),
    limits: str | None = None,
) -> int:
    """Tokens for the turns behind a prompt of `documents` tokens, where an answer may take `answer`.

    Room alone shall not change how the documents are read: where two long turns fit before a limit at which attention
    or positions become others, there is room up to that limit, and at most `ROOM` tokens. Arguments are those of
    `place`, which may raise HipError.
    """
    least = answer + _QUESTION
    wanted = documents + 2 * least
    placed, yarn = place(hip, positions, wanted, shape, unasked, limits)
    reach = shape.window if yarn is None else yarn.length
    ends = [reach] if reach is not None and placed.packed_from is None else []
    if wanted <= hip.min_context:
        ends.append(hip.min_context)
    return max(least, min([ROOM, *(end - documents for end in ends)]))

"""The header of a session: a session made from something else, or with a damaged header, is refused."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from hip_attention import HipConfig
from small_session import BASIS, edit_header, saved_session, session

from hipcli.disk import sessions
from hipcli.disk.sessions import folder_of
from hipcli.errors import HipError


def _kv_cache(name: str) -> str | None:
    header = sessions.header_of(name)
    return header.basis.kv_cache if header else None


def test_a_header_without_kv_cache_means_full() -> None:
    saved_session()
    assert _kv_cache("book") == "full"
    edit_header(lambda header: header["basis"].pop("kv_cache"))
    with session() as kept:
        assert kept.saved == 256
    assert _kv_cache("other") is None


def test_content_of_a_header() -> None:
    saved_session(128)
    header = json.loads((folder_of("book") / "session.json").read_text())
    assert (header["version"], header["tokens"], header["saved"], header["complete"]) == (5, 300, 128, False)
    assert header["basis"]["attention"]["top_k"] == 1024
    assert (folder_of("book") / "tokens.bin").read_bytes()[4:8] == (1001).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "huge", "revision": "r2"}, "was made with tiny"),
        ({"revision": "r2"}, "was made with another revision of tiny"),
        ({"dtype": "bfloat16"}, "was made with numbers in float32, not bfloat16"),
        ({"kv_cache": "int8"}, "was made with --kv-cache full, not int8"),
        ({"attention": asdict(HipConfig(top_k=512))}, "was made with top_k=1024, not 512"),
        (
            {"attention": asdict(HipConfig(packed_from=8192))},
            "was made with positions as they are, not packed from 8,192",
        ),
        ({"yarn_factor": 2}, "was made with positions as they are, not stretched 2 times"),
    ],
)
def test_another_basis_is_refused_by_name(changes: dict[str, object], said: str) -> None:
    saved_session()
    with pytest.raises(HipError, match=f"session book: {said}") as caught:
        session(basis=replace(BASIS, **changes))
    assert "hip cache rm book" in (caught.value.hint or "")
    assert caught.value.exit_code == 2
    session().release()


def test_another_stretch_is_refused_by_name() -> None:
    twice, four_times = (replace(BASIS, yarn_factor=factor) for factor in (2, 4))
    session(basis=twice).release()
    with pytest.raises(
        HipError, match="session book: was made with positions stretched 2 times, not stretched 4 times"
    ):
        session(basis=four_times)
    session(basis=twice).release()


def test_a_header_without_yarn_factor_is_accepted() -> None:
    saved_session()
    edit_header(lambda header: header["basis"].pop("yarn_factor"))
    with session() as kept:
        assert kept.saved == 256


def test_settings_of_decoding_may_differ() -> None:
    saved_session()
    with session(basis=replace(BASIS, attention=asdict(HipConfig(refresh_interval=2)), model="same/by-path")) as kept:
        assert kept.saved == 256


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda header: header.update(version=1), "was written by another version of hip"),
        (lambda header: header.pop("tokens"), "is damaged: session.json"),
        (lambda header: header["segments"][0].update(start=64), "is damaged: session.json"),
        (lambda header: header["segments"][0].update(file="../0-256.safetensors"), "is damaged: session.json"),
        (lambda header: header["segments"][0].update(bytes=7), "is damaged: 0-256.safetensors"),
    ],
)
def test_a_header_that_is_wrong_is_refused(edit: Callable[[dict[str, object]], object], said: str) -> None:
    saved_session()
    edit_header(edit)
    with pytest.raises(HipError, match=f"session book: {said}"):
        session()

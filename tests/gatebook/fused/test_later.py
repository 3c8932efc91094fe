"""A call that waits for an import, and disturbs no other."""

import sys

from gatebook.fused.later import after_import


def test_the_call_follows_the_import_once(tmp_path, monkeypatch):
    (tmp_path / "space").mkdir()  # a namespace package
    (tmp_path / "space/inner.py").write_text("seen = []\n")
    (tmp_path / "waited_for.py").write_text("ready = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    before, calls = list(sys.meta_path), []
    after_import("waited_for", lambda: calls.append(sys.modules["waited_for"].ready))
    import space.inner

    assert space.inner.seen == calls == []
    import waited_for  # noqa: F401

    assert calls == [True] and sys.meta_path == before
    after_import("waited_for", lambda: calls.append("at once"))
    assert calls == [True, "at once"]

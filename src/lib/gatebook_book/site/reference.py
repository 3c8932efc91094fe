"""A Sphinx extension: the reference pages, made from the library's docstrings.

`sphinx.ext.autodoc` does the work. Added here: signatures as the source has them, and
links from the short names that docstrings use.
"""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import textwrap
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import ObjectEntry
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

TORCH = "https://docs.pytorch.org/docs/stable/generated/{}.html"


def written(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, found: str, returns: str
) -> tuple[str, str] | None:
    """The signature with annotations as they are written: ``Blocks``, not a dict.

    A dataclass's default factory is shown as the call that it makes. A page that
    writes ``()`` behind a name hides the arguments.
    """
    if found == "()":
        return None
    if what == "class" and dataclasses.is_dataclass(obj):
        return f"({', '.join(_fields(obj))})", ""
    function = obj.__init__ if inspect.isclass(obj) else obj
    if not inspect.isroutine(function) or not hasattr(function, "__code__"):
        return None
    own = _definition(inspect.unwrap(function))
    if what in ("class", "method") and not isinstance(obj, staticmethod):
        del (own.args.posonlyargs or own.args.args)[0]  # self, or cls
    result = ast.unparse(own.returns) if own.returns and what != "class" else ""
    return f"({ast.unparse(own.args)})", result


def _definition(function: Any) -> ast.FunctionDef:
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(found, ast.FunctionDef)
    return found


def _fields(kind: Any) -> list[str]:
    """Each argument of a dataclass with its annotation and default."""
    notes = _annotations(kind)
    shown: list[str] = []
    keyword = False
    for f in (f for f in dataclasses.fields(kind) if f.init):
        if f.kw_only and not keyword:
            shown, keyword = [*shown, "*"], True
        default = "" if f.default is dataclasses.MISSING else f" = {f.default!r}"
        make: Any = f.default_factory
        if make is not dataclasses.MISSING:
            default = f" = {make.__name__}()"
        shown.append(f"{f.name}: {notes[f.name]}{default}")
    return shown


def _annotations(kind: Any) -> dict[str, str]:
    """By field, its annotation in the source of the class that has it last."""
    notes: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if hasattr(base, "__dataclass_fields__"):
            (own,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            lines = [x for x in ast.walk(own) if isinstance(x, ast.AnnAssign)]
            notes |= {ast.unparse(x.target): ast.unparse(x.annotation) for x in lines}
    return notes


def quote(
    app: Sphinx, domain: str, objtype: str, content: addnodes.desc_content
) -> None:
    """Shapes in double quotes, as in the source: ``Float[Tensor, "T B H"]``."""
    for text in content.parent.findall(addnodes.desc_sig_literal_string):
        inner = text.astext()[1:-1]
        if text.astext() == f"'{inner}'":
            text.clear()
            text.append(nodes.Text(f'"{inner}"'))


def qualify(app: Sphinx, doctree: nodes.document) -> None:
    """Short names get the path that they have where they are written.

    Packages share some names: language models and translation both have a ``Recipe``.
    """
    for node in doctree.findall(pending_xref):
        target, module = node.get("reftarget", ""), node.get("py:module")
        if node.get("refdomain") == "py" and module and "." not in target:
            found = getattr(importlib.import_module(module), target, None)
            own = getattr(found, "__module__", "") if callable(found) else ""
            if str(own).startswith("gatebook."):
                node["reftarget"] = f"{own}.{getattr(found, '__qualname__', target)}"


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.Node | None:
    """A link for a name of the library or of torch that has no full path.

    A name in a signature may stay without a link. One that a docstring has in
    backticks must be documented, or be importable as it stands, or Sphinx warns.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if found := _object(env, target):
        name, entry = found
        place = (app.builder, node["refdoc"], entry.docname, entry.node_id)
        return make_refnode(*place, text, title=name)
    if node["reftype"] != "obj":
        return text
    if target.startswith("torch."):
        return nodes.reference("", "", text, refuri=TORCH.format(target))
    return text if _exists(target) else None


def _exists(target: str) -> bool:
    """Whether a dotted name, such as ``copy.deepcopy``, can be imported."""
    try:
        pkgutil.resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        return False
    return True


def _object(env: BuildEnvironment, target: str) -> tuple[str, ObjectEntry] | None:
    """The one documented object whose path ends so.

    A name that a package hands on is found where it is documented: ``gatebook.GATES``.
    """
    objects: dict[str, ObjectEntry] = env.domaindata["py"]["objects"]
    for end in (target, target.rpartition(".")[2]):
        ends = [(n, e) for n, e in objects.items() if f".{n}".endswith(f".{end}")]
        if len({entry.node_id for _, entry in ends}) == 1:
            return ends[0]
        if not target.startswith("gatebook."):
            break
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("autodoc-process-signature", written)
    app.connect("object-description-transform", quote)
    app.connect("doctree-read", qualify)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Writing HTML pages: templates that escape their content, and embedded images."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from genimg.common.files import atomic_write


def write_page(path: Path, package: str, template: str, filters: dict[str, Callable[..., Any]], **content: Any) -> Path:
    """Renders the template of `package` with `content` into `path`, which it returns."""
    environment = Environment(
        loader=PackageLoader(package, "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(filters)
    page = environment.get_template(template).render(**content)
    with atomic_write(path) as file:
        file.write(page.encode(errors="backslashreplace"))  # file names may be no UTF-8
    return path


def data_uri(content: bytes, mime: str) -> str:
    """Returns the content as a data URI, to embed it in a page."""
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"

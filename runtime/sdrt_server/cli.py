"""`sdrt serve`: a server and a page."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from sdrt.cli.option_types import EngineOptions, option, option_group
from sdrt.errors import UsageError, needs_extra

if TYPE_CHECKING:
    from sdrt.pipeline import Pipeline
    from sdrt_server.http.gate import Access
    from sdrt_server.limits import Limits
    from sdrt_server.server import LogFormat

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@dataclass(frozen=True)
class ContentOptions:
    """What the server has."""

    models: tuple[str, ...] = option(
        "-m",
        "--model",
        metavar="NAME=FOLDER",
        multiple=True,
        help="A model and its name; may be given several times. Default: the embedded model.",
    )
    lora_dir: Path | None = option(
        "--lora-dir", type=FOLDER, help="Folder of LoRAs that clients may name."
    )
    embedding_dir: Path | None = option(
        "--embedding-dir", type=FOLDER, help="Folder of textual inversions that clients may name."
    )


@dataclass(frozen=True)
class AccessOptions:
    """Where it listens, and to whom."""

    host: str = option(
        "--host", default="127.0.0.1", show_default=True, help="Address to listen on."
    )
    port: int = option(
        "--port",
        type=click.IntRange(0, 65535),
        default=7860,
        show_default=True,
        help="0: a free one.",
    )
    api_keys: tuple[str, ...] = option(
        "--api-key",
        metavar="KEY",
        multiple=True,
        envvar="SDRT_API_KEY",
        help="Let in only who shows this key; may be given several times. Also: SDRT_API_KEY.",
    )
    api_key_file: Path | None = option(
        "--api-key-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="File with a key on each line.",
    )
    insecure: bool = option(
        "--insecure", is_flag=True, help="Let anybody in who reaches the port, without a key."
    )
    allowed_hosts: tuple[str, ...] = option(
        "--allowed-host", metavar="NAME", multiple=True, help="A name that the server is called by."
    )
    cors_origins: tuple[str, ...] = option(
        "--cors-origin",
        metavar="URL",
        multiple=True,
        help="A site whose pages may use the server, such as https://example.org.",
    )

    def access(self) -> "Access":
        """Who may use the server; raises `UsageError` if that would be everybody by mistake."""
        from sdrt_server.http.gate import LOCAL, Access

        keys = list(self.api_keys)
        if self.api_key_file:
            lines = self.api_key_file.read_text(encoding="utf-8").splitlines()
            in_file = [line.strip() for line in lines if line.strip()]
            if not in_file:
                raise UsageError(f"{self.api_key_file} has no key in it; write one on each line")
            keys += in_file
        is_local = self.host in LOCAL
        if not (is_local or keys or self.insecure):
            raise UsageError(
                f"--host {self.host} lets other machines in; give an --api-key (or SDRT_API_KEY), "
                "or say --insecure"
            )
        hosts = (*LOCAL, *self.allowed_hosts) if is_local or self.allowed_hosts else ()
        return Access(tuple(keys), hosts, self.cors_origins)


@dataclass(frozen=True)
class LimitOptions:
    """What a job may ask for."""

    max_queue: int = option(
        "--max-queue", type=click.IntRange(0), default=16, show_default=True, help="Jobs that wait."
    )
    max_pixels: int = option(
        "--max-pixels",
        type=click.IntRange(64 * 64),
        default=2**21,
        show_default=True,
        help="Width times height of a picture.",
    )
    max_steps: int = option(
        "--max-steps",
        type=click.IntRange(1),
        default=150,
        show_default=True,
        help="Steps of a job.",
    )
    max_images: int = option(
        "--max-images",
        type=click.IntRange(1, 64),
        default=8,
        show_default=True,
        help="Pictures of a job.",
    )
    max_body: str = option(
        "--max-body", metavar="32M", default="32M", show_default=True, help="Size of a request."
    )
    job_timeout: float = option(
        "--job-timeout",
        type=click.FloatRange(1),
        default=3600.0,
        show_default=True,
        metavar="SECONDS",
        help="How long a job may run.",
    )

    def limits(self) -> "Limits":
        """The same for the service; raises `UsageError`."""
        from sdrt.memory.budget import read_bytes
        from sdrt_server.limits import Limits

        return Limits(
            max_queue=self.max_queue,
            max_pixels=self.max_pixels,
            max_steps=self.max_steps,
            max_images=self.max_images,
            max_body=read_bytes(self.max_body),
            job_timeout=self.job_timeout,
        )


@dataclass(frozen=True)
class OperationOptions:
    """How it behaves over time."""

    grace: float = option(
        "--grace",
        type=click.FloatRange(0),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long the running job may go on after a signal to stop.",
    )
    keep_abandoned: bool = option(
        "--keep-abandoned", is_flag=True, help="Finish jobs whose client has left."
    )
    patience: float = option(
        "--patience",
        type=click.FloatRange(0),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="Send a space this often to A1111's clients while they wait; 0: never.",
    )
    log_format: str = option(
        "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of the log."
    )
    log_requests: bool = option("--log-requests", is_flag=True, help="Log each request.")
    log_prompts: bool = option("--log-prompts", is_flag=True, help="Log prompts.")


@dataclass(frozen=True)
class ServeOptions:
    """Everything that `sdrt serve` takes."""

    content: ContentOptions
    access: AccessOptions
    limits: LimitOptions
    operation: OperationOptions
    engine: EngineOptions


@click.command()
@option_group("options", ServeOptions)
def serve(options: ServeOptions) -> None:
    """Serve pictures: a page, an API of its own, and those of OpenAI and AUTOMATIC1111."""
    with needs_extra("serve"):
        from sdrt_server.app import create_app
        from sdrt_server.models.adapter_files import AdapterFiles
        from sdrt_server.server import address, open_port, run, start_logging
        from sdrt_server.service import Service

    access, limits, operation = options.access.access(), options.limits.limits(), options.operation
    with open_port(options.access.host, options.access.port) as listening:
        start_logging(cast("LogFormat", operation.log_format), operation.log_requests)
        service = Service(
            _pipelines(options),
            limits,
            AdapterFiles("LoRA", options.content.lora_dir),
            AdapterFiles("embedding", options.content.embedding_dir),
            patience_s=operation.patience or float("inf"),
            keeps_abandoned=operation.keep_abandoned,
            log_prompts=operation.log_prompts,
        )
        names, url = ", ".join(service.shelf.models), address(listening)
        click.echo(f"sdrt: serving {names} on {url}", err=True)
        run(create_app(service, access), service, listening, operation.grace)


def _pipelines(options: ServeOptions) -> "dict[str, Pipeline]":
    """The models by their names; raises `UsageError` for a name given twice."""
    pipelines: dict[str, Pipeline] = {}
    for text in options.content.models or ("",):
        name, separator, folder = text.partition("=")
        if not separator:
            name, folder = Path(text).name, text
        pipe = options.engine.load_to_keep(folder or None)
        name = name or pipe.manifest.name
        if name in pipelines:
            raise UsageError(f"two models are called {name!r}; give each its own NAME=FOLDER")
        pipelines[name] = pipe
    return pipelines

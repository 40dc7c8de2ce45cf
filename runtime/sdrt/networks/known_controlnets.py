"""The ControlNets that an open model was given, under names that tell its networks apart."""

from collections.abc import Iterable
from pathlib import Path

from sdrt.artifact.artifact import Artifact
from sdrt.artifact.controlnet import CONTROLNET, ControlNetFolder, open_controlnet
from sdrt.files.text_file import read_json
from sdrt.request.controls import ControlRequest


class KnownControlNets:
    """ControlNets by the names of their networks: `controlnet_` and the ControlNet's own name.

    Each folder is opened, and checked against the model, when it is first asked for.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._folders: dict[str, ControlNetFolder] = {}
        self._names: dict[Path, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._folders

    def __getitem__(self, name: str) -> ControlNetFolder:
        return self._folders[name]

    def name_of(self, where: str) -> str:
        """The network's name of the ControlNet in a folder, which is opened if it is new.

        Raises `ArtifactError` for what is no ControlNet, and `UnsupportedError` for one that is not
        for this model.
        """
        path = Path(where).resolve()
        if path not in self._names:
            folder = open_controlnet(where)
            config = read_json(self._artifact.root / "unet" / "config.json")
            channels = config.get("block_out_channels") if isinstance(config, dict) else None
            folder.check_fits(self._artifact.manifest, channels)
            name = self._free_name(folder.manifest.name)
            self._folders[name], self._names[path] = folder, name
        return self._names[path]

    def of(self, controls: Iterable[ControlRequest]) -> dict[str, ControlNetFolder]:
        """The folders of some controls by their networks' names, with the errors of `name_of`."""
        names = (self.name_of(control.controlnet) for control in controls)
        return {name: self._folders[name] for name in names}

    def _free_name(self, own: str) -> str:
        name, number = f"{CONTROLNET}_{own}", 2
        while name in self._folders:
            name, number = f"{CONTROLNET}_{own}_{number}", number + 1
        return name

"""Model folders: open them, check them, describe those that other tools exported."""

from sdrt.artifact.artifact import Artifact as Artifact
from sdrt.artifact.artifact import is_artifact as is_artifact
from sdrt.artifact.artifact import open_artifact as open_artifact

"""Versions of a registered model: lookup by the identity of their content, verification of files, aliases."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path

from MLOps.artifacts import regular_files
from MLOps.config.tracking import TrackingConfig
from MLOps.errors import UserError, one_line
from MLOps.experiment_tracking.retries import retried
from MLOps.model_registry.version_files import COMPILED, files_hash

CANDIDATE = "candidate"
CHAMPION = "champion"
ALIASES = (CANDIDATE, CHAMPION)
# Tags with the identity of what a version holds.
BUNDLE_TAG = "bundle"
PREDICTOR_TAG = "predictor"
FILES_TAG = "files"  # the hash of everything that MLflow loads: the data, the code beside it, MLflow's description
ARTIFACTS = "artifacts"  # MLflow's folder of a model's data


@dataclass(frozen=True)
class Registry:
    """The versions of one registered model."""

    client: MlflowClient
    name: str
    identity_tag: str = BUNDLE_TAG

    @classmethod
    def of_bundles(cls, client: MlflowClient, tracking: TrackingConfig) -> "Registry":
        """The registered model whose versions hold bundles."""
        return cls(client, tracking.registered_model)

    @classmethod
    def of_predictor(cls, client: MlflowClient, tracking: TrackingConfig, predictor: str) -> "Registry":
        """The registered model of the predictor of this name."""
        return cls(client, f"{tracking.registered_predictor}-{predictor}", PREDICTOR_TAG)

    def versions_of(self, identity: str) -> list[str]:
        """The versions that were registered with the content of this identity, oldest first."""
        found = self.client.search_model_versions(f"name = '{self.name}' and tags.{self.identity_tag} = '{identity}'")
        return [str(number) for number in sorted(int(version.version) for version in found)]

    def version_at(self, alias: str) -> str | None:
        """The version that `alias` points at."""
        try:
            return str(self.client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as error:
            # The file and the SQL stores name the two cases, no model and no alias, differently.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def versions(self) -> list[str]:
        """All versions, oldest first."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return [str(number) for number in sorted(int(version.version) for version in found)]

    def resolve(self, name: str) -> str:
        """The version of a number or an alias.

        Raises:
            UserError: there is no such version.
        """
        if name in ALIASES:
            if (version := self.version_at(name)) is not None:
                return version
            there = f"found none; name a version: {', '.join(self.versions()) or 'none is registered, run `dvc repro`'}"
            raise UserError(f"{self.name}: expected a version with the alias {name}, {there}")
        versions = self.versions()
        if name not in versions:
            raise UserError(
                f"{self.name}: expected {' or '.join(ALIASES)} or a version of {', '.join(versions) or 'none'}, "
                f"found {name!r}"
            )
        return name

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(self.name, version).tags)

    def all_tags(self) -> dict[str, dict[str, str]]:
        """The tags of all versions, as they are at one moment."""
        found = self.client.search_model_versions(f"name = '{self.name}'")
        return {str(version.version): dict(version.tags) for version in sorted(found, key=lambda v: int(v.version))}

    def files(self, version: str) -> Path:
        """A local copy of all files of the version, after a check.

        Raises:
            UserError: a file is missing, or differs from what was registered; or there is a link among them.
        """
        folder = self._files(version)
        if files_hash(folder) != self.tags(version).get(FILES_TAG):
            raise UserError(f"{self.name} version {version}: its files differ from those registered ({folder})")
        # Python would run what lies there instead of the files that were compared.
        for compiled in list(folder.rglob(COMPILED)):
            shutil.rmtree(compiled, ignore_errors=True)
            if compiled.exists():
                raise UserError(f"{compiled}: Python would run what lies there unchecked; delete it")
        return folder

    def is_whole(self, version: str) -> bool:
        """Whether the files of the version are those that were registered."""
        try:
            self.files(version)
        except UserError:
            return False
        return True

    def bundle(self, version: str) -> Path:
        """A local copy of the version's bundle, after a check of all files of the version; raises like `files`."""
        return self.files(version) / ARTIFACTS / "bundle"

    def register(self, model_uri: str, identity: str) -> str:
        """Make a version of a logged model, and return it.

        Where another process has registered the same content meanwhile, its version is returned and ours deleted.
        """
        tags = {FILES_TAG: files_hash(model_files(model_uri, model_uri)), self.identity_tag: identity}
        made = str(retried(lambda: mlflow.register_model(model_uri, self.name, tags=tags)).version)
        # All who register see the oldest of their versions by now, and keep that one.
        for version in self.versions_of(identity):
            if int(version) < int(made) and self.is_whole(version):
                self.client.delete_model_version(self.name, made)
                return version
        return made

    def run_of(self, version: str) -> str:
        """The id of the run that registered a version."""
        return str(self.client.get_model_version(self.name, version).run_id)

    def tag(self, version: str, tags: dict[str, str]) -> bool:
        """Set `tags` that differ; returns whether any did."""
        present = self.tags(version)
        changed = {key: value for key, value in tags.items() if present.get(key) != value}
        for key, value in changed.items():
            self.client.set_model_version_tag(self.name, version, key, value)
        return bool(changed)

    def untag(self, version: str, tag: str) -> None:
        """Delete a tag, if the version has it."""
        if tag in self.tags(version):
            self.client.delete_model_version_tag(self.name, version, tag)

    def describe(self, version: str, card: str) -> bool:
        """Make `card` the description of a version; that of the model is the champion's, else the candidate's.

        Returns:
            Whether a description changed.
        """
        changed = False
        if self.client.get_model_version(self.name, version).description != card:
            self.client.update_model_version(self.name, version, card)
            changed = True
        shown = self.version_at(CHAMPION) or self.version_at(CANDIDATE)
        if shown is not None:
            described = self.client.get_model_version(self.name, shown).description or ""
            if self.client.get_registered_model(self.name).description != described:
                self.client.update_registered_model(self.name, described)
                changed = True
        return changed

    def point(self, alias: str, version: str) -> bool:
        """Point `alias` at `version`; returns whether it pointed elsewhere before."""
        if self.version_at(alias) == version:
            return False
        self.client.set_registered_model_alias(self.name, alias, version)
        return True

    def put_forward(self, version: str) -> bool:
        """Point `candidate` at a version, and `champion` where it points at another version with the same content.

        Returns:
            Whether an alias moved.
        """
        moved = self.point(CANDIDATE, version)
        champion = self.version_at(CHAMPION)
        if champion is not None and self._identity(champion) == self._identity(version):
            moved |= self.point(CHAMPION, version)
        return moved

    def _identity(self, version: str) -> str | None:
        return self.tags(version).get(self.identity_tag)

    def _files(self, version: str) -> Path:
        # MLflow writes a file into a local folder, and would follow a link there.
        source = Path(local_file_uri_to_path(self.client.get_model_version_download_uri(self.name, version)))
        if source.is_dir():
            regular_files(source)
        return model_files(f"models:/{self.name}/{version}", f"{self.name} version {version}")


def model_files(uri: str, what: str) -> Path:
    """A local copy of the files of a model, logged or registered.

    Raises:
        UserError: naming `what`: they cannot be read.
    """
    try:
        return Path(mlflow.artifacts.download_artifacts(uri))
    except (MlflowException, OSError) as error:
        raise UserError(f"{what}: its files cannot be read: {one_line(error)}") from None

"""Versions of the registered model, found by their bundle's identity, and the aliases that point at them."""

from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

CANDIDATE = "candidate"
CHAMPION = "champion"
BUNDLE_TAG = "bundle"


@dataclass(frozen=True)
class Registry:
    """The versions of one registered model."""

    client: MlflowClient
    name: str

    def version_of(self, identity: str) -> str | None:
        """The version that holds the bundle with this identity."""
        found = self.client.search_model_versions(f"name = '{self.name}' and tags.{BUNDLE_TAG} = '{identity}'")
        return str(max(found, key=lambda v: int(v.version)).version) if found else None

    def version_at(self, alias: str) -> str | None:
        """The version that `alias` points at."""
        try:
            return str(self.client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as error:
            # The file and the SQL stores name the two cases, no model and no alias, differently.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(self.name, version).tags)

    def bundle(self, version: str) -> Path:
        """A local copy of the version's bundle."""
        uri = f"models:/{self.name}/{version}/artifacts/bundle"
        return Path(mlflow.artifacts.download_artifacts(uri))

    def register(self, model_uri: str, identity: str) -> str:
        """Make a version of a logged model."""
        return str(mlflow.register_model(model_uri, self.name, tags={BUNDLE_TAG: identity}).version)

    def tag(self, version: str, tags: dict[str, str]) -> bool:
        """Set `tags` where they differ; whether any did."""
        present = self.tags(version)
        changed = {key: value for key, value in tags.items() if present.get(key) != value}
        for key, value in changed.items():
            self.client.set_model_version_tag(self.name, version, key, value)
        return bool(changed)

    def point(self, alias: str, version: str) -> bool:
        """Point `alias` at `version`; whether it pointed elsewhere before."""
        if self.version_at(alias) == version:
            return False
        self.client.set_registered_model_alias(self.name, alias, version)
        return True

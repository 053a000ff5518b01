"""params.yaml as frozen dataclasses, one file per section."""

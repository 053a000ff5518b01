"""params.yaml as frozen dataclasses, a file a section."""

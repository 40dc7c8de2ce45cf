"""Files: written whole or not at all, checksums, the cache folder, JSON, safetensors."""

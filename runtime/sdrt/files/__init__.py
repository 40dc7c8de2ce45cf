"""Files: written whole or not at all, checksums, the cache, manifests, JSON, safetensors."""

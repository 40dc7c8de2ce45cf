"""LoRAs: small additions to a checkpoint's layers, merged into its weights at export."""

"""Adapters of a model: LoRAs, and textual inversions with their new words.

`active` holds those in use and makes weight patches of them. `lora_loading` opens LoRAs for a
model, `lora` reads a file, `lora_names` and `lora_scaling` interpret its tensors' names and alphas,
`unet_layer_names` maps names of the original code. `textual_inversion` reads embeddings.
"""

"""Static int8: which layers, which ranges, and the graph that both engines run in integers.

layers            the convolutions and linear layers of a graph
observation       statistics of tensors, the graph that gives them, and their file
watched_networks  networks whose tensors, or inputs and outputs, are collected while they run
calibration       prompts x timesteps x guidance through the runtime's own sampler loop
ranges            statistics -> scale and zero point
sensitivity       the error of each layer when it alone is rounded -> which stay in float
rounding          fp32 graph + ranges -> graph with QuantizeLinear and DequantizeLinear
quantizer         all of it, for one model
int8_artifact     float artifact -> int8 artifact, with bf16 where int8 is not enough
"""

"""Static int8: which layers, which ranges, and the graph that both engines run in integers.

layers        the convolutions and linear layers of a graph
observation   what their tensors held while the real sampler ran: statistics, and their file
calibration   prompts x timesteps x guidance through the runtime's own sampler loop
ranges        statistics -> scale and zero point
sensitivity   what each layer costs when it alone is rounded -> which stay in float
rounding      fp32 graph + ranges -> graph with QuantizeLinear and DequantizeLinear
quantizer     all of it, for one model
"""

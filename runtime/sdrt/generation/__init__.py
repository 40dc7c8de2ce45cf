"""One generation: initial latents, the loop of steps, hires and refiner runs, the result."""

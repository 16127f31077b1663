"""Engine `stable-diffusion`: Stable Diffusion inpainting on a three-band composite, pretrained or fine-tuned."""

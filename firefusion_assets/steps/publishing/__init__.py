"""What a config made, as folders that the Hugging Face hub takes as they are: `publish` starts it."""

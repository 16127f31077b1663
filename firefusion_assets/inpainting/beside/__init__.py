"""What fires do to the air and the ground beside them: smoke and burn scars, as the train part shows them."""

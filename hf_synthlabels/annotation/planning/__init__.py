"""What a run will send and cost, before anything is sent."""

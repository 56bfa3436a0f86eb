"""What several processes have to agree on."""

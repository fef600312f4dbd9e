"""What comes back from readers and their mail servers."""

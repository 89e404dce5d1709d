"""What is written about the data set: README, figures, croissant.json."""

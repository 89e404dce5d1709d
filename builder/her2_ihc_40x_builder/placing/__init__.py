"""Where a crop lies in its slide: template matching that refuses rather than guesses."""

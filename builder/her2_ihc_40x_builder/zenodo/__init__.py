"""The release as Zenodo keeps it: the record and the download of its files."""

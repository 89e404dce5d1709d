"""Make, check and publish the shards of HER2-IHC-40x; loading them needs only `her2_ihc_40x`."""

"""Cases: photos of an unknown person searched for in a gallery, with a folder and a log for each search."""

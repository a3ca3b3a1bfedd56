"""The REST interface by subject; `labeling.web.api` puts it together and has the core: claims and answers."""

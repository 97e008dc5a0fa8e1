"""Pictures of a flow: a figure for papers and a page to explore."""

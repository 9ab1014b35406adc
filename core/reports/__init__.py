"""Reports: typed results in; Markdown, HTML and plots out. Nothing ever reads a report."""

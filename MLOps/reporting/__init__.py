"""The report page: what the stages left in `reports/`, as one offline HTML file."""

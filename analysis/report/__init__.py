"""Reports: one HTML file with its verdict first, which loads nothing from elsewhere.

`page` writes the page from sections; `sections` makes these out of runs, budgets, sweeps and samples; `plots` are
figures as SVG in the page's own colours, `schematic` the drawing of the loop; `templates` hold HTML and styles. What a
verification says in its report stands in `analysis.verification.report`.

Another section is a function in `sections` that returns a `page.Section`.
"""

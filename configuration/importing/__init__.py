"""Lists brought in from a file: read, checked row by row, shown, and written when somebody says so.

`columns`: what a cell may say. `sheet`: a list as a file, its columns and how its rows are checked, written and exported.
`upload`: from the file to rows that are kept. `run`: checking and writing them, and who decides. `report`: what is said of
them. The lists themselves are in `configuration.sheets` and `agents.sheets`.
"""

"""What an account has, kept a second time: one encrypted object for each kind of data and local day.

`kinds` says what goes where, `crypt` and `rows` what an object looks like, `write` makes them every night, `rewrite` lets
a deletion reach them, `restore` brings them back.
"""

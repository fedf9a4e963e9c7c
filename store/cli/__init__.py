"""The commands of `python -m store`: `main` reads the command line, each command is a file.

What is used elsewhere, such as the progress bar of `output`, must not load all of them.
"""

"""A page on which one drops a photo and sees what a network looks at, and what covering it changes.

photo.py      the bytes of a photo to aligned faces
occluder.py   a rectangle over a face
explain.py    what the networks say about a face, covered or not
markup.py     all of that as HTML
page.py       the page, the only file that needs Gradio
"""

"""A page on which one drops a photo and sees what a network looks at, and what covering it changes.

photo.py      the bytes of a photo to aligned faces
occluder.py   a rectangle over a face
explain.py    what the networks say about a face, covered or not
markup.py     all of that as HTML
uploads.py    photos that wait for their event, in memory
page.py       the page, in Gradio's components
hosts.py      the names that the page answers to
gate.py       what may reach Gradio's server
server.py     the page as a server; only this file and page.py need Gradio
run.py        all of it, as `ran_tf.run_demo`
"""

"""The studio: a page on this machine on which a person drags a picture; `dragflow studio` opens it."""

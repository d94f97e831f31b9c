"""The checker of annotated shapes and types that tests run the package under."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a fine float

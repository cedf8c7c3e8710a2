# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a bundle says of itself: ``cascade.json`` and its sample inputs, read as if anybody had written them.

Every field is read by :class:`~mmcascade.runtime.fields.Fields` and refused by name before anything of it is used. A
new field goes here, into ``cascade.schema.json`` and into the writers of ``models.export``; one that an older reader
would misread needs a new ``SCHEMA``. Nothing is run here.
"""

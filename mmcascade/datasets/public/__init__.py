# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Photographs and networks of public repositories, fetched as the configs read them. None is part of mmcascade.

Each module knows one repository and writes what a config reads of it into a folder, whole or not at all; a clone that
is there is taken. Git is called by ``_system.repositories`` alone, and nothing is fetched by an import.
"""

# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What every stage has to do, whatever it runs and on what."""

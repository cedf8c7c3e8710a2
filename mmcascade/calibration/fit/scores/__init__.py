# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What makes scores comparable: a temperature per stage, and a map per exit."""

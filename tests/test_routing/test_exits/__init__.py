# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.

# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Triton's ``config.pbtxt`` as protobuf reads it: the part of Triton's ModelConfig that is written here."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.text_format import ParseError

_KINDS = ('INVALID', 'BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64', 'FP16', 'FP32',
    'FP64', 'STRING')  # fmt: skip
#: Fields by message, with names, numbers and types of Triton's model_config.proto; a star stands for repeated ones.
_MESSAGES = {
    'ModelDynamicBatching': {'max_queue_delay_microseconds': (2, 'uint64')},
    'ModelInput': {'name': (1, 'string'), 'data_type': (2, 'DataType'), 'dims*': (4, 'int64')},
    'ModelOutput': {'name': (1, 'string'), 'data_type': (2, 'DataType'), 'dims*': (3, 'int64')},
    'ModelConfig': {
        'name': (1, 'string'),
        'max_batch_size': (4, 'int32'),
        'input*': (5, 'ModelInput'),
        'output*': (6, 'ModelOutput'),
        'dynamic_batching': (11, 'ModelDynamicBatching'),
        'backend': (17, 'string'),
    },
}


def _model_config() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name='model_config.proto', package='inference', syntax='proto3')
    kinds = file.enum_type.add(name='DataType')
    for number, kind in enumerate(_KINDS):
        kinds.value.add(name=f'TYPE_{kind}', number=number)
    field = descriptor_pb2.FieldDescriptorProto
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            one = made.field.add(name=name.rstrip('*'), number=number)
            one.label = field.LABEL_REPEATED if name.endswith('*') else field.LABEL_OPTIONAL
            plain = getattr(field, f'TYPE_{kind.upper()}', None)
            one.type = plain or (field.TYPE_ENUM if kind == 'DataType' else field.TYPE_MESSAGE)
            if plain is None:
                one.type_name = f'.inference.{kind}'
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('inference.ModelConfig'))


ModelConfig = _model_config()
__all__ = ['ParseError', 'read_config']


def read_config(text: str) -> Any:
    """A config; what is not one of its fields is an error."""
    return text_format.Parse(text, ModelConfig())

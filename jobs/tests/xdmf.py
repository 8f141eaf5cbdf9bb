"""What VTK's own reader, which ParaView has too, sees in an XDMF file: every moment, as JSON on standard output.

    xdmf.py FILE.xdmf

Each value comes with the place where VTK puts it: the middle of its cell, or its point. Axes are VTK's: x, y, z.
"""

import json
import sys

from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline
from vtkmodules.vtkIOXdmf2 import vtkXdmfReader


def values(image, data, place):
    found = {}
    for n in range(data.GetNumberOfArrays()):
        array = data.GetArray(n)
        rows = [[*place(image, i), array.GetTuple1(i)] for i in range(array.GetNumberOfTuples())]
        found[array.GetName()] = rows
    return found


def middle(image, cell):
    bounds = [0.0] * 6
    image.GetCellBounds(cell, bounds)
    return [(bounds[2 * axis] + bounds[2 * axis + 1]) / 2 for axis in range(3)]


def point(image, number):
    return image.GetPoint(number)


errors = []
reader = vtkXdmfReader()
reader.AddObserver("ErrorEvent", lambda *_: errors.append("VTK reports an error"))
reader.SetFileName(sys.argv[1])
reader.UpdateInformation()
information = reader.GetOutputInformation(0)
steps = vtkStreamingDemandDrivenPipeline.TIME_STEPS()
moments = []
for n in range(information.Length(steps)):
    time = information.Get(steps, n)
    reader.UpdateTimeStep(time)
    image = reader.GetOutputDataObject(0)
    moments.append(
        {
            "time": time,
            "kind": image.GetClassName(),
            "points": image.GetDimensions(),
            "origin": image.GetOrigin(),
            "spacing": image.GetSpacing(),
            "cells": values(image, image.GetCellData(), middle),
            "nodes": values(image, image.GetPointData(), point),
        }
    )
if errors:
    sys.exit(errors[0])
json.dump(moments, sys.stdout)

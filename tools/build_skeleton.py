"""Build `src/handbones/phantom/skeleton.npz` from the bone meshes of the Python package myo-sim.

    pip install myo-sim==0.2.4 "mujoco<4" scikit-image scipy fast-simplification
    python tools/build_skeleton.py

Every bone becomes one closed surface in millimetres, in the frame of a right hand seen in PA view: x to the little
finger's side, y towards the elbow, z towards the palm (away from the tube). Meshes with holes or loose parts (radius,
ulna, pisiform, the little finger's distal phalanx) are rebuilt from their generalized winding number (Jacobson,
Kavan, Sorkine-Hornung, SIGGRAPH 2013), which stays close to 1 inside a surface that is not quite closed. The coarse
distal radius is carved by the carpals that it carries, which gives it the scaphoid and lunate fossae.
"""

import warnings
from pathlib import Path

import fast_simplification
import mujoco
import myo_sim
import numba
import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage import measure

from handbones.anatomy import ANATOMY, BONES

TARGET = Path(__file__).parents[1] / "src/handbones/phantom/skeleton.npz"
SEGMENTS = {"distal": "distph", "middle": "midph", "proximal": "proxph", "metacarpal": "mc"}
THUMB = {"distal": "thumbdist", "proximal": "thumbprox", "metacarpal": "1mc"}
FACES = {"distal": 1000, "middle": 1200, "proximal": 1800, "metacarpal": 2500, "radius": 4000, "ulna": 3000}
CARPAL_FACES = 1500
OPEN = ("Radius", "Ulna", "Pisiform", "finger-16")
FOREARM_KEPT_MM = 175.0
CARPUS = ("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform")
BASES = ("finger-3", "finger-7", "finger-11", "finger-15", "finger-19")
# Joint centres: the joint of myo-sim whose anchor is the centre of rotation of this bone against its parent.
JOINTS = {
    "finger-1": "ip_flexion_r",
    "finger-2": "mp_flexion_r",
    "finger-3": "cmc_flexion_r",
    "Lunate": "deviation_r",
    **{f"finger-{4 * d - 2}": f"mcp{d}_flexion_r" for d in range(2, 6)},
    **{f"finger-{4 * d - 3}": f"pm{d}_flexion_r" for d in range(2, 6)},
    **{f"finger-{4 * d - 4}": f"md{d}_flexion_r" for d in range(2, 6)},
}


def mesh_name(bone):
    if bone.digit is None:
        return bone.segment + "_r"
    return (THUMB[bone.segment] if bone.digit == 1 else f"{bone.digit}{SEGMENTS[bone.segment]}") + "_r"


def load():
    """Vertices (mm, world frame of myo-sim) and faces of the 29 bones, and the joint centres."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = myo_sim.load_model("myohand_r")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    by_mesh = {
        model.mesh(model.geom_dataid[g]).name: g
        for g in range(model.ngeom)
        if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_MESH
    }
    bones = {}
    for bone in ANATOMY:
        names = [n for n in by_mesh if n.removesuffix("_r") == mesh_name(bone).removesuffix("_r")]
        g = by_mesh[names[0]]
        m = model.geom_dataid[g]
        verts = model.mesh_vert[model.mesh_vertadr[m] :][: model.mesh_vertnum[m]]
        faces = model.mesh_face[model.mesh_faceadr[m] :][: model.mesh_facenum[m]]
        world = verts @ data.geom_xmat[g].reshape(3, 3).T + data.geom_xpos[g]
        bones[bone.label] = world * 1000, faces.astype(np.int64)
    joints = {label: data.xanchor[model.joint(name).id] * 1000 for label, name in JOINTS.items()}
    return bones, joints


def to_hand_frame(points, origin):
    p = points - origin
    return np.stack([-p[:, 2], p[:, 1], p[:, 0]], 1)


@numba.njit(parallel=True, fastmath=True)
def winding_number(points, verts, faces):
    out = np.zeros(len(points))
    for i in numba.prange(len(points)):
        total = 0.0
        for t in range(len(faces)):
            a = verts[faces[t, 0]] - points[i]
            b = verts[faces[t, 1]] - points[i]
            c = verts[faces[t, 2]] - points[i]
            la, lb, lc = np.sqrt((a * a).sum()), np.sqrt((b * b).sum()), np.sqrt((c * c).sum())
            det = (
                a[0] * (b[1] * c[2] - b[2] * c[1])
                - a[1] * (b[0] * c[2] - b[2] * c[0])
                + a[2] * (b[0] * c[1] - b[1] * c[0])
            )
            den = la * lb * lc + (a * b).sum() * lc + (b * c).sum() * la + (c * a).sum() * lb
            total += 2 * np.arctan2(det, den)
        out[i] = total / (4 * np.pi)
    return out


def grid(verts, step, margin):
    low, high = verts.min(0) - margin, verts.max(0) + margin
    axes = [np.arange(low[k], high[k] + step, step) for k in range(3)]
    return low, tuple(len(a) for a in axes), np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def signed_distance(points, verts, faces):
    """Distance to the surface, negative inside; the sign from the winding number, so that holes do no harm."""
    corners = verts[faces]
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), size=(len(faces), max(1, 60000 // len(faces))))
    samples = np.einsum("fsk,fkd->fsd", weights, corners).reshape(-1, 3)
    distance, _ = cKDTree(np.concatenate([samples, verts])).query(points, workers=2)
    inside = winding_number(points, verts, faces)
    return np.where(np.abs(inside) > 0.5, -distance, distance)


def surface(field, low, step):
    verts, faces, _, _ = measure.marching_cubes(field, 0.0, spacing=(step,) * 3)
    verts = verts + low
    label = largest_component(len(verts), faces)
    keep = label[faces[:, 0]]
    used = np.unique(faces[keep])
    index = np.full(len(verts), -1)
    index[used] = np.arange(len(used))
    return verts[used], index[faces[keep]]


def largest_component(count, faces):
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    _, label = connected_components(coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count)))
    return label == np.bincount(label).argmax()


def rebuild(verts, faces, step, margin, smooth):
    low, shape, points = grid(verts, step, margin)
    field = signed_distance(points, verts, faces).reshape(shape)
    return low, ndimage.gaussian_filter(field, smooth / step)


def decimate(verts, faces, count):
    """Quadric decimation to about `count` faces; a little more where it would leave a hole."""
    while count < len(faces):
        v, f = fast_simplification.simplify(verts.astype(np.float32), faces.astype(np.int32), target_count=count, agg=7)
        if closed(f):
            return v.astype(np.float64), f.astype(np.int64)
        count += 50
    return verts, faces


def outward(verts, faces):
    a, b, c = (verts[faces[:, k]] for k in range(3))
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum()
    return faces if volume > 0 else faces[:, ::-1]


def closed(faces):
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    _, count = np.unique(edges, axis=0, return_counts=True)
    return bool((count == 2).all())


def main_axis(verts):
    _, _, vt = np.linalg.svd(verts - verts.mean(0), full_matrices=False)
    return vt[0] if vt[0, 1] < 0 else -vt[0]


def rotation_between(a, b):
    v, c = np.cross(a, b), float(a @ b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


def straighten(bones, joints):
    """Turn the hand so that metacarpal 3 points up, and the forearm so that it points down from the wrist."""
    centre = joints["Lunate"].copy()
    turn = rotation_between(main_axis(bones["finger-11"][0]), np.array([0.0, -1.0, 0.0]))
    hand = [label for label in BONES if label not in ("Radius", "Ulna")]
    for label in hand:
        verts, faces = bones[label]
        bones[label] = (verts - centre) @ turn.T + centre, faces
    joints = {label: turn @ (p - centre) + centre for label, p in joints.items()}
    axis = main_axis(bones["Radius"][0]) + main_axis(bones["Ulna"][0])
    turn = rotation_between(axis / np.linalg.norm(axis), np.array([0.0, -1.0, 0.0]))
    pivot = bones["Radius"][0][bones["Radius"][0][:, 1].argmin()]
    for label in ("Radius", "Ulna"):
        verts, faces = bones[label]
        bones[label] = (verts - pivot) @ turn.T + pivot, faces
    return joints


def main():
    bones, joints = load()
    origin = bones["Capitate"][0].mean(0)
    bones = {label: (to_hand_frame(v, origin), f) for label, (v, f) in bones.items()}
    joints = {label: to_hand_frame(p[None], origin)[0] for label, p in joints.items()}
    joints = straighten(bones, joints)
    for bone in ANATOMY:
        if bone.label not in OPEN:
            bones[bone.label] = decimate(*bones[bone.label], FACES.get(bone.segment, CARPAL_FACES))
    for label in OPEN:
        verts, faces = bones[label]
        forearm = label in ("Radius", "Ulna")
        if forearm:
            # Close the gap that the model leaves between the carpus and the forearm, then let the carpals carve it.
            verts = verts + SHIFT[label]
        step, margin, smooth = (0.8, 10.0, 2.0) if forearm else (0.3, 3.0, 0.6)
        low, field = rebuild(verts, faces, step, margin, smooth)
        if label == "Ulna":
            field = add_styloid(field, low, step, verts)
        if forearm:
            field = carve(field, low, step, bones)
        bones[label] = surface(field, low, step)
    saved = {}
    for bone in ANATOMY:
        verts, faces = decimate(*bones[bone.label], FACES.get(bone.segment, CARPAL_FACES))
        faces = outward(verts, faces)
        size = np.ptp(verts, axis=0).round(1)
        print(f"{bone.label:11s} {len(faces):5d} faces, closed: {closed(faces)}, size {size} mm")
        bones[bone.label] = verts, faces
        saved[f"{bone.label}/vertices"] = verts.astype(np.float32)
        saved[f"{bone.label}/faces"] = faces.astype(np.uint16)
    for label in (*CARPUS, *BASES, "Radius", "Ulna"):
        low, step, field = contact_field(*bones[label], near_wrist=label not in CARPUS)
        saved[f"{label}/field"] = field.astype(np.float16)
        saved[f"{label}/field_origin"] = low
        saved[f"{label}/field_step"] = np.float64(step)
    for label, point in joints.items():
        saved[f"{label}/joint"] = point
    np.savez_compressed(TARGET, **saved)
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB")


# How far the forearm moves towards the carpus, in mm (x, y, z).
SHIFT = {"Radius": np.array([0.0, -8.0, 0.0]), "Ulna": np.array([0.0, -6.5, 0.0])}
CARTILAGE_MM = 1.0


def add_styloid(field, low, step, verts):
    """The coarse ulna has lost its styloid process: a peg on the head's far corner, melted into it."""
    corner = verts[(verts[:, 0] - verts[:, 1]).argmax()]
    a, b = corner + np.array([-3.5, 7.0, -1.0]), corner + np.array([-1.2, 0.2, -1.5])
    index = np.stack(np.meshgrid(*(np.arange(n) for n in field.shape), indexing="ij"), -1)
    p = index * step + low - a
    along = np.clip(p @ (b - a) / ((b - a) @ (b - a)), 0, 1)[..., None]
    peg = np.linalg.norm(p - along * (b - a), axis=-1) - (3.2 - 1.4 * along[..., 0])
    melt = 2.0
    h = np.maximum(melt - np.abs(field - peg), 0.0) / melt
    return np.minimum(field, peg) - h * h * melt / 4


def carve(field, low, step, bones):
    """Cut the forearm at its length and keep `CARTILAGE_MM` clear of the carpals."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in field.shape), indexing="ij"), -1)
    points = (index * step + low).reshape(-1, 3)
    top = points[field.reshape(-1) < 0][:, 1].min()
    field = np.maximum(field, (points[:, 1] - top - FOREARM_KEPT_MM).reshape(field.shape))
    near = points[:, 1] < top + 25
    clear = np.full(len(points), -1e3)
    for label in ("Scaphoid", "Lunate", "Triquetrum"):
        distance = signed_distance(points[near], *bones[label])
        clear[near] = np.maximum(clear[near], CARTILAGE_MM - distance)
    carved = np.maximum(field, clear.reshape(field.shape))
    return ndimage.gaussian_filter(carved, 0.5 / step)


def contact_field(verts, faces, near_wrist):
    """A coarse signed distance grid (mm) for the contact of bones; of long bones only the end at the wrist."""
    if near_wrist:
        ends = verts[np.argsort(np.abs(verts[:, 1]))[:1]][0]
        verts_near = verts[np.abs(verts[:, 1] - ends[1]) < 22]
    else:
        verts_near = verts
    step = 1.0
    low, shape, points = grid(verts_near, step, 4.0)
    return low, step, signed_distance(points, verts, faces).reshape(shape)


if __name__ == "__main__":
    main()
